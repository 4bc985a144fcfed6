"""How is a result shown? Pages, figures and tables in the terminal."""
