"""Pages and figures: SVG charts, HTML, style sheet, matplotlib figures. Plain arrays in, pictures out."""
