// Package guardtest is what tests of package guard, and of those who stand
// behind it, have in common: addresses of every kind, a name server that says
// what a test likes, listeners that nobody should connect to, and a network
// in which every address leads to the test itself.
package guardtest
