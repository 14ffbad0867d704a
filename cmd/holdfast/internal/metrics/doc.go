// Package metrics gives Prometheus what the parts of a server count. It does not know the
// server: a function gives it the numbers.
package metrics
