//go:build !linux

package main

// letTrace does nothing: strace is Linux's.
func letTrace() {}
