package main

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// rows is the table: a figure, its unit, whether more of it is better, and what
// the project wants of it.
var rows = []struct {
	key, title, format string
	more               bool
	target             string
}{
	{"online", "exec to online", "%.0f ms", false, "10×"},
	{"cpu", "CPU to online", "%.0f ms", false, "30×"},
	{"commands", "commands until online", "%.0f", false, ""},
	{"bytes", "bytes until online", "%.1f kB", false, ""},
	{"idle", "memory idle (PSS)", "%.1f MiB", false, "≤ 12 MB"},
	{"idle anon", "  of it heap and stacks", "%.1f MiB", false, ""},
	{"after", "memory after work (PSS)", "%.1f MiB", false, "≤ 25 MB"},
	{"after anon", "  of it heap and stacks", "%.1f MiB", false, ""},
	{"ping", "Ping, one caller", "%.0f /s", true, "3×"},
	{"exists", "FilePath.exists, one caller", "%.0f /s", true, "3×"},
	{"exists cpu", "  agent's CPU for 1000", "%.0f ms", false, ""},
	{"parallel", "FilePath.exists, 16 callers", "%.0f /s", true, "3×"},
	{"from agent", "pipe agent → controller", "%.0f MB/s", true, "1.5×"},
	{"from agent cpu", "  agent's CPU for 100 MB", "%.0f ms", false, ""},
	{"to agent", "pipe controller → agent", "%.0f MB/s", true, "1.5×"},
	{"to agent cpu", "  agent's CPU for 100 MB", "%.0f ms", false, ""},
	{"stash", "stash of one big file", "%.0f MB/s", true, "1.5×"},
	{"stash cpu", "  agent's CPU for 100 MB", "%.0f ms", false, ""},
	{"unstash", "unstash of it", "%.0f MB/s", true, "1.5×"},
	{"unstash cpu", "  agent's CPU for 100 MB", "%.0f ms", false, ""},
	{"log cpu", "agent's CPU, one sh, 100 000 lines", "%.0f ms", false, ""},
	{"logs", "20 such at once, wall", "%.1f s", false, ""},
	{"logs cpu", "20 such at once, agent's CPU", "%.0f ms", false, ""},
	{"peak", "20 such at once, peak memory (PSS)", "%.1f MiB", false, "flat"},
	{"fleet size", "fleet: agents", "%.0f", true, ""},
	{"fleet", "fleet: all online", "%.2f s", false, ""},
	{"fleet memory", "fleet: memory of all (PSS)", "%.0f MiB", false, ""},
}

// printTable prints ours beside the official agent's. A ratio says how many
// times better ours is.
func printTable(ours, official results) {
	lines := [][]string{{"", "ours", "official", "better by", "target"}}
	for _, r := range rows {
		a, has := ours[r.key]
		if !has {
			continue
		}
		line := []string{r.title, fmt.Sprintf(r.format, a), "–", "–", r.target}
		if b, has := official[r.key]; has {
			line[2] = fmt.Sprintf(r.format, b)
			if r.key != "fleet size" {
				line[3] = ratio(a, b, r.more)
			}
		}
		lines = append(lines, line)
	}
	width := make([]int, len(lines[0]))
	for _, l := range lines {
		for i, cell := range l {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for n, l := range lines {
		var b strings.Builder
		for i, cell := range l {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				cell += pad
			} else {
				cell = pad + cell
			}
			b.WriteString("| " + cell + " ")
		}
		fmt.Println(b.String() + "|")
		if n == 0 {
			var rule strings.Builder
			for i, w := range width {
				rule.WriteString("|" + strings.Repeat("-", w+1))
				if i == 0 {
					rule.WriteString("-")
				} else {
					rule.WriteString(":")
				}
			}
			fmt.Println(rule.String() + "|")
		}
	}
}

func ratio(ours, official float64, more bool) string {
	if more {
		ours, official = official, ours
	}
	if ours == 0 {
		return "–"
	}
	x := official / ours
	if x >= 10 {
		return fmt.Sprintf("%.0f×", x)
	}
	return fmt.Sprintf("%.1f×", x)
}
