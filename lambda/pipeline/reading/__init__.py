"""From a file's bytes to its records: what bytes and header say, one record a line, and the SQL of the cells."""
