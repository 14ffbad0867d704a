// Package hint gives errors a line that says what to do about them.
package hint
