"""Tables as Markdown has them."""


def table(head, rows):
    """A table, a line a row; line breaks within cells become blanks."""
    return "\n".join("| " + " | ".join(str(cell).replace("\n", " ").strip() for cell in line) + " |"
                     for line in (head, ["---"] * len(head), *rows)) + "\n"
