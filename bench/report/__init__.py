"""From figures to what people read: JSON, a table, SVG charts and a page."""
