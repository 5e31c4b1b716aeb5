"""What checks the measuring of `valkeyctl bench`, and what measures the library itself."""
