"""The routes, a file a subject.  Each reads its parameters, asks the library in a thread, and answers."""
