"""Kill processes while windows are evaluated and alerts notified; each must then exist once, in order."""
