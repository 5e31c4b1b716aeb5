"""Keys out of one server and into another: the export file, both ways."""
