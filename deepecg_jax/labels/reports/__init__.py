"""Free-text ECG reports in English, French, German and Swedish to the 77 findings."""
