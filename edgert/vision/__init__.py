"""From pictures to a model's input. Imported when a model is first given a picture."""
