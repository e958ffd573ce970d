//go:build !race

package main

// raceFactor stretches limits of time under the race detector.
const raceFactor = 1
