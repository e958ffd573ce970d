//go:build race

package junit

func init() { raceDetector = true }
