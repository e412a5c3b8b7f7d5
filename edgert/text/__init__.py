"""Language models: text to tokens and back, choosing the next token, the loop that generates."""
