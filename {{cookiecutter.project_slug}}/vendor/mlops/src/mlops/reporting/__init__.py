"""Results as people read them: text, Markdown, HTML, cards, pages."""
