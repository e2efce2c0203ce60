"""Download of images from untrusted URLs, from public addresses only."""
