"""The page of `edgert inspect --html`: one self-contained file, drawn here, no library and no network."""
