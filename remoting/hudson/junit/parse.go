package junit

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
)

// filetimeMargin is TestResult.FILE_TIME_PRECISION_MARGIN, milliseconds.
const filetimeMargin = 3000

// Parse reads the report files, given relative to baseDir in the order of Ant's
// directory scanner, as JUnitParser$ParseResultCallable.invoke does with the
// files that its glob found. baseDir is the absolute path of the workspace.
//
// Without files the result is an empty one if opts allow that (and the line
// NoReportsMessage is printed), else a *Throwable of hudson.AbortException.
// Reports that are empty or malformed become failed cases and are no error. The
// error is a *Throwable where Java would throw too, or that of a broken limit.
func Parse(opts Options, baseDir string, files []string) (*TestResult, error) {
	return ParseContext(context.Background(), opts, baseDir, files)
}

// ParseContext is Parse that gives up with ctx's error once ctx is done.
func ParseContext(ctx context.Context, opts Options, baseDir string, files []string) (*TestResult, error) {
	if len(files) == 0 {
		if !opts.AllowEmptyResults {
			return nil, &Throwable{Class: ClassAbort, Message: NoReportsMessage}
		}
		if opts.Println != nil {
			opts.Println(NoReportsMessage)
		}
		// new TestResult() forgets all options.
		return &TestResult{StartTime: -1, StdioRetention: RetainNone, Suites: []*SuiteResult{}}, nil
	}
	p := newParser(ctx, opts)
	oldest := min(opts.BuildStartTimeMillis, opts.BuildTimeMillis) - filetimeMargin
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		rep := newReport(baseDir, f)
		if opts.SkipOldReports {
			fi, err := os.Stat(rep.path)
			if err != nil {
				return nil, statError(rep.path, err)
			}
			if fi.ModTime().UnixMilli() < oldest {
				continue
			}
		}
		if err := p.file(rep); err != nil {
			return nil, err
		}
	}
	if err := p.tally(); err != nil {
		return nil, err
	}
	return p.res, nil
}

// parser is one Parse call.
type parser struct {
	ctx   context.Context
	opts  Options
	bud   budget
	res   *TestResult
	index map[suiteKey]*sameName
}

func newParser(ctx context.Context, opts Options) *parser {
	if opts.StdioRetention == "" {
		opts.StdioRetention = RetainNone
	}
	opts.Limits = opts.Limits.withDefaults()
	return &parser{
		ctx:  ctx,
		opts: opts,
		bud:  budget{max: opts.Limits.MaxRetained},
		res: &TestResult{
			KeepProperties: opts.KeepProperties,
			KeepTestNames:  opts.KeepTestNames,
			SkipOldReports: opts.SkipOldReports,
			StartTime:      -1,
			StdioRetention: opts.StdioRetention,
			Suites:         []*SuiteResult{},
		},
		index: map[suiteKey]*sameName{},
	}
}

// report names a report file as java.io.File does.
type report struct {
	path string // getPath
	abs  string // getAbsolutePath
	name string // getName
}

func newReport(baseDir, file string) report {
	path := filepath.Join(baseDir, filepath.FromSlash(file))
	abs, err := filepath.Abs(path)
	if err != nil {
		abs = path
	}
	return report{path: path, abs: abs, name: filepath.Base(path)}
}

// file is TestResult.parsePossiblyEmpty and parse(File, PipelineTestDetails).
func (p *parser) file(rep report) error {
	if length(rep.path) == 0 {
		p.add(fakeSuite(rep.name, "[empty]", "Test report file "+rep.abs+" was length 0", p.opts.Pipeline))
		return nil
	}
	f, err := os.Open(rep.path)
	if err != nil {
		return openError(rep.path, err)
	}
	defer f.Close()
	if fi, err := f.Stat(); err == nil && fi.IsDir() {
		return &Throwable{Class: ClassFileNotFound, Message: rep.path + " (Is a directory)"}
	}
	return p.document(rep, f)
}

// document adds the suites of the report that r reads.
func (p *parser) document(rep report, r io.Reader) error {
	b := &builder{p: p, rep: rep}
	held := p.bud.used
	err := scanDocument(r, b, p.opts.Limits)
	var de *documentError
	switch {
	case errors.As(err, &de):
		p.bud.used = held
		if filepath.Ext(rep.path) != ".xml" {
			return &Throwable{
				Class:   ClassIO,
				Message: "Failed to read " + rep.path + "\nIs this really a JUnit report file? Your configuration must be matching too many files",
				Cause:   de.throwable(),
			}
		}
		p.add(fakeSuite(rep.name, "[failed-to-read]", "Failed to read test report file "+rep.abs+"\n"+de.trace(), nil))
		return nil
	case err != nil:
		return err
	case b.fault != nil:
		return b.fault
	}
	for _, s := range b.suites {
		p.add(s)
	}
	return nil
}

// fakeSuite is a suite that stands for a report that could not be used. The
// Java constructors leave startTime 0 in the suite and null lists in the case.
func fakeSuite(file, test, text string, d *PipelineTestDetails) *SuiteResult {
	none, out, err := "", "", ""
	s := &SuiteResult{Name: file, Stdout: &out, Stderr: &err}
	s.setPipeline(d)
	s.addCase(&CaseResult{
		ClassName:       &file,
		TestName:        &test,
		ErrorStackTrace: &text,
		ErrorDetails:    &none,
		StartTime:       -1,
	})
	return s
}

// suiteKey is what suites must share to be merged, their ids aside. The blocks
// around the junit step are the same wherever the node id is.
type suiteKey struct {
	name     string
	pipeline bool
}

// sameName finds the suite that one with the same key is merged into: suites
// match when their ids are equal or either has none, and the first match wins.
type sameName struct {
	first    *indexed
	firstNil *indexed // the first without an id
	byID     map[string]*indexed
}

type indexed struct {
	n int
	s *SuiteResult
}

func (m *sameName) match(id *string) *SuiteResult {
	best := m.first
	if id != nil {
		best = m.firstNil
		if c := m.byID[*id]; c != nil && (best == nil || c.n < best.n) {
			best = c
		}
	}
	if best == nil {
		return nil
	}
	return best.s
}

func (m *sameName) add(c *indexed) {
	if m.first == nil {
		m.first = c
	}
	if id := c.s.ID; id == nil && m.firstNil == nil {
		m.firstNil = c
	} else if id != nil && m.byID[*id] == nil {
		m.byID[*id] = c
	}
}

// add is TestResult.add: start time and duration are summed up, and a suite that
// is spread over several files (JENKINS-12457) becomes one.
func (p *parser) add(s *SuiteResult) {
	r := p.res
	if r.StartTime == -1 {
		r.StartTime = s.StartTime
	} else if s.StartTime != -1 {
		r.StartTime = min(r.StartTime, s.StartTime)
	}
	r.Duration += s.Duration
	key := suiteKey{s.Name, s.NodeID != nil}
	same := p.index[key]
	if same == nil {
		same = &sameName{byID: map[string]*indexed{}}
		p.index[key] = same
	}
	if into := same.match(s.ID); into != nil {
		into.merge(s)
		return
	}
	same.add(&indexed{len(r.Suites), s})
	r.Suites = append(r.Suites, s)
}

// tally is what TestResult.tally can fail with: it takes each class name apart.
func (p *parser) tally() error {
	for _, s := range p.res.Suites {
		for _, c := range s.Cases {
			if c.ClassName == nil {
				return &Throwable{Class: ClassNullPointer, Message: `Cannot invoke "String.lastIndexOf(int)" because "this.className" is null`}
			}
		}
	}
	return nil
}

func asThrowable(path string, err error) *Throwable {
	var t *Throwable
	if errors.As(err, &t) {
		return t
	}
	return openError(path, err)
}
