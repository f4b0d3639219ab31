"""Chapter 42: events and their windows, and splits by labelled minutes and by days."""
