"""What runs Veristream somewhere: the embedded broker and the demonstration."""
