"""What only the book needs: chapters and their parameters, execution, build, pages and the ledger of claims."""
