"""What a store says about itself."""
