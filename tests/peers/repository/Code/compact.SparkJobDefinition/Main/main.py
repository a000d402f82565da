print("compacted")
