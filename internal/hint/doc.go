// Package hint adds to errors a line that says what to do about them.
package hint
