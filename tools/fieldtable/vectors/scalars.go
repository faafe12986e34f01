package main

import (
	"encoding/base64"
	"encoding/json"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// scalar is one text and what Go makes of it.
type scalar struct {
	Kind   string `json:"kind"`
	Input  string `json:"input"`
	Output string `json:"output,omitempty"`
	Error  string `json:"error,omitempty"`
}

var quantities = []string{
	"0", "1", "5", "10", "100", "1000", "1001", "12345", "1000000", "1500", "0.1", "0.5", "1.5", "1.25", ".5", "1.",
	"1m", "100m", "500m", "1000m", "1500m", "2000m", "0m", "1u", "1n", "0.5n", "0.1u", "1000n", "1500000n",
	"1k", "1000k", "1500k", "1M", "1G", "1T", "1P", "1E", "0.5k", "1.5G", "12e6", "1e3", "1E3", "1e-3", "1.5e9", "1e1", "1e2",
	"1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei", "8Ei", "100Ei", "1024Ki", "1024Mi", "1023Ki", "1025Mi", "1536Mi", "0.5Gi", "1.5Gi",
	"1.1Gi", "0.1Ki", "0.5Ki", "512Ki", "1000Ki", "0.25Mi", "2048", "123456789012345678", "1234567890123456789", "12345678901234567890",
	"9223372036854775807", "9223372036854775808", "-1", "-5", "-1.5", "-0.1n", "-1Gi", "-100Ei", "-0", "+1", "+0.5", "010m",
	" 1 ", "0.000000001", "0.0000000001", "129Mi", "3Gi", "64Gi", "250Gi", "4000m",
	"0.3", "0.001", "0.0001", "1.0", "1.10", "100.5Mi", "0Ki", "0.0", "00", "7e0", "1e18",
	"", "abc", "1x", "1 Gi", "1ki", "1KI", "1mm", "Gi", "1.2.3", "1Gi2", "--1", "1e", "1ee3", "1e3.5", "1e99999999999999999999", "e3", ".", "-", "1K", "5g", "0x1",
}

var times = []string{
	"2026-01-31T23:59:59Z", "2024-02-29T12:00:00Z", "1970-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "0001-01-01T00:00:00Z",
	"9999-12-31T23:59:59Z", "2026-06-15T10:00:00+02:00", "2026-06-15T10:00:00-05:30", "2026-06-15T10:00:00.123456789Z",
	"2026-06-15T10:00:00.123456Z", "2026-06-15T10:00:00.1Z", "2026-06-15T10:00:00.000000+01:00", "2026-06-15T10:00:00,5Z", "2026-06-15T1:00:00Z",
	"1900-03-01T00:00:00Z", "2000-02-29T00:00:00Z", "1600-02-29T00:00:00Z",
	"", "x", "2026", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-02-29T00:00:00Z", "2026-01-32T00:00:00Z", "2026-01-00T00:00:00Z",
	"2026-01-01", "2026-01-01 00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:60Z", "2026-01-01T00:00:00",
	"2026-01-01T00:00:00z", "2026-01-01T00:00:00Zx", "2026-01-01T00:00:00+0100", "2026-01-01T00:00:00+25:00", "2026-01-01T00:00:00+01:61",
	"2026-01-01T00:00:00.Z", "20-01-01T00:00:00Z", "2026-1-1T00:00:00Z", "2026-01-01T00:00:00.12345Z", "2026-01-01T00:00:00.1234567Z", "tomorrow \"noon\"",
}

var durations = []string{
	"0", "0s", "1s", "1m", "1h", "90s", "90m", "1h30m", "1.5s", "-1.5s", "100ms", "1us", "1µs", "1500ns", "1h0m0s", "2540400h10m10s",
	"1.5h", "0.000000001s", ".5s", "5.s", "+5s", "1h-1m", "1ms", "1.0000001ms",
	"", "1", "s", "1x", "1d", "-", "1h 1m", "9223372036854775808ns", "3000000h", ".s", "1.2.3s",
}

var byteTexts = []string{
	"", "AA==", "AAA=", "AAAA", "aGVsbG8=", "aGVs\nbG8=", "aGVs\r\nbG8=\n", "//++", "AB==", "A", "AA", "AAA", "AA=", "AA=A", "A===", "====", "AAAA=", "AA==A", "a-b_", "aGVsbG8=x", "AA\n==", "A A=", "AAAAA",
}

func scalarRecords() []interface{} {
	var records []interface{}
	add := func(kind, input string, output []byte, err error) {
		record := scalar{Kind: kind, Input: input}
		if err != nil {
			record.Error = err.Error()
		} else if json.Unmarshal(output, &record.Output) != nil {
			record.Output = string(output) // not JSON
		}
		records = append(records, record)
	}
	for _, input := range quantities {
		var q resource.Quantity
		text, _ := json.Marshal(input)
		err := q.UnmarshalJSON(text)
		out, _ := q.MarshalJSON()
		add("quantity", input, out, err)
	}
	for _, input := range times {
		text, _ := json.Marshal(input)
		var t metav1.Time
		err := t.UnmarshalJSON(text)
		out, _ := t.MarshalJSON()
		add("time", input, out, err)
		var micro metav1.MicroTime
		err = micro.UnmarshalJSON(text)
		out, _ = micro.MarshalJSON()
		add("microtime", input, out, err)
	}
	for _, input := range durations {
		d, err := time.ParseDuration(input)
		add("duration", input, []byte(d.String()), err)
	}
	for _, input := range byteTexts {
		data, err := base64.StdEncoding.DecodeString(input)
		add("bytes", input, []byte(base64.StdEncoding.EncodeToString(data)), err)
	}
	return records
}
