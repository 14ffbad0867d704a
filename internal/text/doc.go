// Package text writes numbers and names for people to read, on a terminal or in a log.
package text
