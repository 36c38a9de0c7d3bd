"""HTML reports with plots: one self-contained file. Pure: data in, text out."""
