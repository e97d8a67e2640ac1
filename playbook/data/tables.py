"""Column names of prepared tables; every play reads rows by these names."""

ROW_ID = "row_id"  # stable id of the row
TEXT = "text"  # normalised text
LABEL = "label"  # class name
GROUP = "group"  # rows of one group stay in one split
TIME = "time"  # ISO date or time, empty where unknown
SPLIT = "split"
OWN_ID = "own_id"  # of raw rows: the id as the file has it, empty without one
SHARED_BY = "shared_by"  # of raw rows: the sides that rows with this id were asked for, parted by blanks
ASKED = "asked_split"  # of raw rows: what the team's split column says, or the role of the team's own file

PREPARED_COLUMNS = (ROW_ID, TEXT, LABEL, GROUP, TIME)  # further kept columns follow, prefixed with `kept_`
KEPT_PREFIX = "kept_"
REASON = "reason"  # of a quarantined row
DETAIL = "detail"  # which other row, which value or which line made it unfit
