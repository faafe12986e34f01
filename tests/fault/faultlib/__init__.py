"""What the fault tests are made of: a client, the actors, the server they torment, and the checker."""
