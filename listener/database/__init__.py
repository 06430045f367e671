"""The database side: asking which topologies have a row, and hearing that some may have gone."""
