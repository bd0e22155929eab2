"""Other people's colorizers, wrapped into the contract."""
