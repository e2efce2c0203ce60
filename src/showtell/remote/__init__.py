"""Objects in storage and files on web servers, by URL: for captioning many photos, and as data to train on.

client          requests, again where they failed for a moment; object -> its bytes, or a range of them
client_errors   what the clients of storage raise -> our errors
listing         prefix or pattern -> objects, page by page
http_ranges     the same requests to a web server
range_file      ranges of bytes -> a file that is read in blocks
opened          URL -> such a file, and parts of it of one version
"""
