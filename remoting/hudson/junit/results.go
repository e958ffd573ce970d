package junit

import "strings"

// caseResult is the constructor CaseResult(SuiteResult, Element, String, …).
func (b *builder) caseResult(n *node, class *string) *CaseResult {
	name := n.name
	if class == nil {
		if name == nil {
			b.nullPointer(`Cannot invoke "String.contains(java.lang.CharSequence)" because "nameAttr" is null`)
		} else if i := strings.LastIndexByte(*name, '.'); i >= 0 {
			head, tail := (*name)[:i], (*name)[i+1:]
			class, name = &head, &tail
		}
	}
	c := &CaseResult{
		ClassName:       class,
		TestName:        name,
		Duration:        clampDuration(timeToFloat(n.time)),
		StartTime:       -1,
		IsProperFailure: n.failure != nil,
		Skipped:         n.skipped != nil,
		KeepTestNames:   b.p.opts.KeepTestNames,
		FlakyFailures:   append([]Failure{}, n.flaky...),
		RerunFailures:   append([]Failure{}, n.rerun...),
		Properties:      n.props,
	}
	if c.Properties == nil {
		c.Properties = map[string]string{}
	}
	fault := n.errors
	if fault == nil {
		fault = n.failure
	}
	if fault != nil {
		c.ErrorStackTrace = fault.text.all()
		c.ErrorDetails = fault.message
	}
	if n.skipped != nil {
		if c.SkippedMessage = n.skipped.message; c.SkippedMessage == nil {
			c.SkippedMessage = n.skipped.text.all()
		}
	}
	keepAll, half := b.p.retention(fault != nil)
	c.Stdout = n.stdout.trimmed(keepAll, half)
	c.Stderr = n.stderr.trimmed(keepAll, half)
	return c
}

// nullPointer notes where the Java code would stumble. The report counts as
// malformed first if it is, so this waits for its end.
func (b *builder) nullPointer(message string) {
	if b.fault == nil {
		b.fault = &Throwable{
			Class: ClassIO, Message: "Failed to read " + b.rep.path,
			Cause: &Throwable{Class: ClassNullPointer, Message: message},
		}
	}
}

// endSuite is the end of parseSuite and the constructor SuiteResult(File,
// Element, …).
func (b *builder) endSuite(n *node) error {
	defer n.release()
	if n.errors == nil && len(n.cases) == 0 {
		return nil
	}
	s := &SuiteResult{
		File:      &b.rep.abs,
		Timestamp: n.timestamp,
		ID:        n.id,
		Time:      n.time,
		StartTime: -1,
		Cases:     make([]*CaseResult, 0, len(n.cases)+1),
	}
	name := "(" + b.rep.name + ")"
	if n.name != nil {
		name = *n.name
		if n.pkg != nil && *n.pkg != "" {
			name = *n.pkg + "." + name
		}
	}
	s.Name = safeName(name, b.p.opts.Names)
	s.setPipeline(b.p.opts.Pipeline)
	if n.timestamp != nil && *n.timestamp != "" {
		s.StartTime = parseTimestamp(*n.timestamp)
	}
	if n.time != nil {
		s.Duration = clampDuration(timeToFloat(n.time))
	}
	failed := false
	if n.errors != nil {
		class := "<init>"
		c := b.caseResult(n, &class)
		if err := b.p.bud.take(retained(c)); err != nil {
			return err
		}
		s.addCase(c)
		failed = true
	}
	var offset int64
	for _, c := range n.cases {
		if c.timestamp != nil && *c.timestamp != "" {
			c.StartTime = parseTimestamp(*c.timestamp)
		} else if s.StartTime != -1 {
			c.StartTime = s.StartTime + offset
			if d := float32(c.Duration * 1000); d == d {
				offset += int64(d)
			}
		}
		s.addCase(c.CaseResult)
		failed = failed || c.ErrorStackTrace != nil
	}
	keepAll, half := b.p.retention(failed)
	s.Stdout = n.stdout.trimmed(keepAll, half)
	s.Stderr = n.stderr.trimmed(keepAll, half)
	if s.Stdout == nil && s.Stderr == nil {
		out, err := b.surefireOutput(failed)
		if err != nil {
			return err
		}
		s.Stdout = out
	}
	if s.Properties = n.props; s.Properties == nil {
		s.Properties = map[string]string{}
	}
	b.suites = append(b.suites, s)
	cost := 256
	for _, t := range []*string{s.Stdout, s.Stderr} {
		if t != nil {
			cost += len(*t)
		}
	}
	return b.p.bud.take(cost)
}

// retention says whether output is kept whole, and else how much of each end.
func (p *parser) retention(failed bool) (keepAll bool, half int) {
	keepAll = p.opts.StdioRetention == RetainAll || p.opts.StdioRetention == RetainFailed && failed
	if failed {
		return keepAll, halfMaxFailingSize
	}
	return keepAll, halfMaxSize
}

// setPipeline copies the details of the junit step; none without a node id.
func (s *SuiteResult) setPipeline(d *PipelineTestDetails) {
	s.EnclosingBlocks, s.EnclosingBlockNames = []string{}, []string{}
	if d != nil && d.NodeID != nil {
		id := *d.NodeID
		s.NodeID = &id
		s.EnclosingBlocks = append(s.EnclosingBlocks, d.EnclosingBlocks...)
		s.EnclosingBlockNames = append(s.EnclosingBlockNames, d.EnclosingBlockNames...)
	}
}

// addCase is SuiteResult.addCase: without a time attribute the suite takes as
// long as its cases.
func (s *SuiteResult) addCase(c *CaseResult) {
	s.Cases = append(s.Cases, c)
	if s.Time == nil {
		s.Duration += c.Duration
	}
}

// merge is SuiteResult.merge: other's cases join, its output is dropped.
func (s *SuiteResult) merge(other *SuiteResult) {
	if s.Time != nil {
		s.Duration += other.Duration
	}
	for _, c := range other.Cases {
		s.addCase(c)
	}
}

// safeName is hudson.tasks.test.TestObject.safe.
func safeName(name string, rule NameRule) string {
	if name == "" {
		return "(empty)"
	}
	unsafe := `/\:?#%<>`
	if rule == NamesRFC3986 {
		unsafe = "\"#%/:<>?[\\]^`{|}"
	}
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(unsafe, r) || rule == NamesRFC3986 && (r <= ' ' || r == 0x7F) {
			return '_'
		}
		return r
	}, name)
}
