package main

// hintedError is an error with what to do about it, shown on a line of its own.
type hintedError struct {
	error
	hint string
}

func (e *hintedError) Unwrap() error { return e.error }

// hinted adds a hint to an error.
func hinted(err error, hint string) error { return &hintedError{err, hint} }
