"""Generated messages; generate.sh writes them."""
