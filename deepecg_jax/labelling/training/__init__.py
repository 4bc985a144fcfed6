"""How is a BERT classifier of reports trained?"""
