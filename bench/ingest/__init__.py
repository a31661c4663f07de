"""What a core can take in: the product's doors against Gin, each answering once Kafka has it."""
