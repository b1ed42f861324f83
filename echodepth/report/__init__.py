"""One layer under every page and picture: SVG charts, HTML, style sheet, figures."""
