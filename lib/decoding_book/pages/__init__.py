"""Pages that are made, what each page is given, and the book as one PDF."""
