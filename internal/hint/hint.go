package hint

// Error is an error with what to do about it, shown on a line of its own.
type Error struct {
	error
	Hint string
}

func (e *Error) Unwrap() error { return e.error }

// Add adds a hint to an error.
func Add(err error, hint string) error { return &Error{err, hint} }
