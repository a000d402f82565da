"""The sweeper and the search for orphans."""
