"""Pictures → segments → vectors → store."""
