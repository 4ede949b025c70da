"""How results are shown: one table, one way to draw SVG, one frame of HTML, one slider."""
