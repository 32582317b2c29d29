"""A folder before it is open: options, making a store, inspecting its file, opening that."""
