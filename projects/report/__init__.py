"""Compare run records with the paper's tables: Markdown, CSV and plots for ``pcrq report`` and ``pcrq figure 5``."""
