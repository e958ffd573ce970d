//go:build race

package main

// raceFactor stretches limits of time: the race detector slows the program down.
const raceFactor = 5
