package hint

// Error is an error with a hint what to do about it. Commands show the hint on its own line.
type Error struct {
	error
	Hint string
}

func (e *Error) Unwrap() error { return e.error }

// Add adds a hint to an error.
func Add(err error, hint string) error { return &Error{err, hint} }
