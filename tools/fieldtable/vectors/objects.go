package main

func objectRecords(every bool) ([]interface{}, error) { return nil, nil }
