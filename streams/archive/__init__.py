"""The archive: what was decided and why, in Parquet files whose rows are chained, signed and proved."""
