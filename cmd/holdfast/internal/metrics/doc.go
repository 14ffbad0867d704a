// Package metrics tells Prometheus what the parts of a server count. It knows those
// parts' numbers, and no server: what there is to tell comes from a function.
package metrics
