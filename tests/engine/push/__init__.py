"""Push from database servers, seen from outside: the whole listener, a real engine and server."""
